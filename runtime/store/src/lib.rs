//! Content-addressed store of chunks, blobs and tree nodes.
