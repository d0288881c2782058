"""The programs, a file a subject, each with a `program` that lists its cases."""
