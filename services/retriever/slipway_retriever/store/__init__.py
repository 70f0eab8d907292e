"""What survives: files, stores, passages and their vectors, per tenant."""
