//! The client of registries (OCI distribution-spec; Docker Registry HTTP API V2).
