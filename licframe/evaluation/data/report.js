document.querySelectorAll(".viewer").forEach(enliven);
