// Airflow shows these pages in a frame that may not leave it: a link that goes further is followed by the page around it.
"use strict";
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || window.parent === window || event.defaultPrevented) return;
  event.preventDefault();
  const around = window.parent.document.createElement("a");
  around.href = link.href;
  around.rel = "noopener noreferrer";
  if (link.origin !== window.location.origin || event.ctrlKey || event.metaKey) around.target = "_blank";
  window.parent.document.body.append(around);
  around.click();
  around.remove();
});
