"""What turns traces and jaxprs into others: staging, forward and reverse derivatives, batching, dead code."""
