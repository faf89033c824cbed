//! OCI references, registry client, layers in.
