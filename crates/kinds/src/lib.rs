//! Objects as sets of JSON documents, and the foreign kinds we touch.
