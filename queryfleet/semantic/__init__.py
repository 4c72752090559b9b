"""From what a person asks to SQL text: models, explores, and the compiler. No I/O but reading model files."""
