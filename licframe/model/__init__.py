"""What decides symbols and pictures, without profiles and files."""
