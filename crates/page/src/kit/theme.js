// Before the first paint: the theme that was chosen here last. No module, for modules run after it.
"use strict";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* a browser that keeps nothing: the system's theme */ }
