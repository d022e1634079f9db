"""Picture filters: what is sent with one picture to mend its decoded form."""
