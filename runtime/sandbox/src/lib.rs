//! Namespaces, mounts, limits and process groups.
