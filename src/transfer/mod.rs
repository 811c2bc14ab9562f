//! Images on their way: from a registry or an archive into the store, and out of it again.
