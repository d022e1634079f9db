"""Many files at once: which they are, who works on them, and the record of what is done."""
