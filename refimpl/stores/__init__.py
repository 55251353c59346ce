"""Where pulled content and what is known of it stay: content, metadata, leases."""
