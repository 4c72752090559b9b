"""From a question about an explore to SQL: pure functions, without I/O."""
