"""How rows are kept and read back: Arrow batches in, JSONL chunks in an object store, pages out."""
