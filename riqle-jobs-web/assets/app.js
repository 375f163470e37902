// Small comforts; every page can be read and used without them.
"use strict";

(() => {
  // A page that was opened with a name and a password in its address can fetch by whole addresses only.
  const fetchWhole = window.fetch;
  window.fetch = (what, how) =>
    fetchWhole(typeof what === "string" ? new URL(what, location.origin + location.pathname) : what, how);

  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

  // Times say how long ago they were, and the time itself to who points at them.
  function tell(time) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) return;
    const seconds = Math.round((at - Date.now()) / 1000);
    const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units[3];
    const text = Math.abs(seconds) < 2 ? "now" : words.format(Math.trunc(seconds / length), unit);
    if (time.textContent !== text) time.textContent = text;
    time.title = new Date(at).toISOString();
  }
  const tellAll = () => document.querySelectorAll("time[datetime]").forEach(tell);

  async function copy(button, text) {
    const said = button.dataset.said ??= button.textContent;
    try {
      await navigator.clipboard.writeText(await text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Can't copy here";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-text], [data-copy-json]");
    if (!button) return;
    const { copy: from, copyText, copyJson } = button.dataset;
    if (from) copy(button, document.getElementById(from).textContent);
    else if (copyText) copy(button, copyText);
    else copy(button, fetch(copyJson, { headers: { Accept: "application/json" } }).then((answer) => answer.text()));
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-choose-all]")) return;
    document.querySelectorAll('input[name="ids"]').forEach((box) => { box.checked = event.target.checked; });
  });

  // What is chosen stays what it is: while something is, the list stands still.
  const isChosen = () => document.querySelector('input[name="ids"]:checked') !== null;
  let held = null;
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (!isChosen() || event.detail.message.event) return;
    held = event.detail.connection;
    event.preventDefault();
  });
  document.addEventListener("change", () => {
    if (!held || isChosen()) return;
    // A new connection begins with the page as it is now.
    held.reader?.cancel();
    held = null;
  });

  // A page that is not followed any more says so.
  for (const away of ["htmx:sse:error", "away"]) {
    document.addEventListener(away, () => { document.body.dataset.away = ""; });
  }
  document.addEventListener("htmx:sse:after:connection", () => { delete document.body.dataset.away; });

  document.addEventListener("submit", (event) => {
    const act = event.submitter?.dataset.askChosen;
    const chosen = document.querySelectorAll('input[name="ids"]:checked').length;
    if (act && chosen > 0 && !window.confirm(`${act} ${chosen} selected ${chosen === 1 ? "run" : "runs"}?`)) event.preventDefault();
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  document.addEventListener("htmx:after:swap", tellAll);
  document.addEventListener("htmx:sse:after:message", tellAll);
  setInterval(tellAll, 1000);
  tellAll();
})();
