// Airflow shows these pages in a frame: they wear its colours, speak its language, and keep themselves up to date.
"use strict";
(() => {
  const html = document.documentElement;
  const kept = (name) => { try { return window.localStorage.getItem(name); } catch { return null; } };

  // Airflow's own pages keep both in the storage of the same origin; "system" leaves the colours to the browser
  const wear = () => {
    const theme = kept("theme");
    if (theme === "dark" || theme === "light") html.dataset.theme = theme; else delete html.dataset.theme;
  };
  wear();
  window.addEventListener("storage", wear);
  const spoken = kept("i18nextLng");
  const language = spoken && (spoken.toLowerCase().startsWith("zh") ? "zh" : "en");
  if (language && !("chosen" in html.dataset) && !html.lang.startsWith(language)) {
    document.cookie = `chimed_follows=${language}; path=${html.dataset.root || "/"}; max-age=31536000; samesite=lax`;
    if (document.cookie.includes(`chimed_follows=${language}`)) window.location.reload();
  }

  // what says how things stand is fetched anew, often while something runs
  const renew = async () => {
    const here = document.querySelectorAll("[data-live]");
    if (document.visibilityState === "visible" && here.length) {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } }).catch(() => null);
      if (answer && answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of here) {
          const now = fresh.getElementById(part.id);
          if (now && !part.contains(document.activeElement)) part.replaceWith(document.adoptNode(now));
        }
      }
    }
    window.setTimeout(renew, document.querySelector("[data-often]") ? 5000 : 60000);
  };
  window.setTimeout(renew, 5000);

  // a frame may not leave itself: a link that goes further is followed by the page around it
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
})();
