//! Images as documents (OCI image-spec; Docker image manifest V2, schema 2): parsers with bounds, and what they give.
