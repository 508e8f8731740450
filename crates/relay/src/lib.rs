//! A streaming HTTP forwarder and the local gateway.
