"""Dead letters as people see to them: what a topic holds of them, and what became of each."""
