//! Strategic merge, JSON merge, JSON patch, server-side apply.
