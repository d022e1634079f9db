"""Tools that check a codec from outside: exactness across settings."""
