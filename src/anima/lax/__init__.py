"""Operations: a file a family, each operation one declaration with all its rules."""
