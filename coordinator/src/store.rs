//! What a coordinator keeps on disk, and how it comes back from it.
