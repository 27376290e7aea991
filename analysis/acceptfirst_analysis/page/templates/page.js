(function () {
  "use strict";
  var root = document.documentElement;

  // Light and dark: what the system says, until somebody says otherwise; remembered where the browser allows it.
  var button = document.getElementById("theme");
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function remembered() { try { return localStorage.getItem("theme"); } catch (error) { return null; } }
  function remember(name) { try { localStorage.setItem("theme", name); } catch (error) { return; } }
  function current() { return root.dataset.theme || (dark.matches ? "dark" : "light"); }
  function label() { button.textContent = current() === "dark" ? "Light" : "Dark"; }
  if (remembered() === "dark" || remembered() === "light") { root.dataset.theme = remembered(); }
  button.hidden = false;
  button.addEventListener("click", function () {
    root.dataset.theme = current() === "dark" ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();

  // Ages: the server gives the moment, the reader's clock says how long ago that is.
  function age(seconds) {
    if (seconds < 60) { return Math.floor(seconds) + " s ago"; }
    if (seconds < 3600) { return Math.floor(seconds / 60) + " min ago"; }
    if (seconds < 172800) { return Math.floor(seconds / 3600) + " h ago"; }
    return Math.floor(seconds / 86400) + " days ago";
  }
  function tellAges() {
    document.querySelectorAll("time[data-ago]").forEach(function (time) {
      time.title = time.title || time.textContent;
      time.textContent = age(Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000));
    });
  }
  tellAges();
  setInterval(tellAges, 1000);

  var live = document.getElementById("live");
  if (!live) { return; }

  // Parts come drawn by the server. What has the focus keeps it; what has not changed is not touched.
  function replace(part) {
    var box = live.querySelector('[data-part="' + part.name + '"]');
    if (!box || box.dataset.digest === part.digest) { return; }
    var focused = box.contains(document.activeElement) ? document.activeElement : null;
    var target = focused && focused.getAttribute("href");
    var said = box.querySelector("[role=status]");
    var before = said && said.textContent;
    var fresh = document.createElement("template");
    fresh.innerHTML = part.html;
    if (said) {
      // An unchanged sentence must not be announced again: the element stays, and so does what is in it.
      var next = fresh.content.querySelector("[role=status]");
      if (next && next.textContent === before) { next.replaceWith(said); }
    }
    var scrolled = box.querySelector("[data-scroll]");
    var top = scrolled ? scrolled.scrollTop : 0;
    var inside = focused && focused === scrolled;
    box.replaceChildren(fresh.content);
    box.dataset.digest = part.digest;
    var scrolls = box.querySelector("[data-scroll]");
    if (scrolls) {
      scrolls.scrollTop = top;
      if (inside) { scrolls.focus({ preventScroll: true }); }
    }
    if (target) {
      var again = Array.prototype.find.call(box.querySelectorAll("a"), function (a) { return a.getAttribute("href") === target; });
      if (again) { again.focus({ preventScroll: true }); }
    }
  }

  var source = null;
  var state = document.getElementById("connection");
  var pause = document.getElementById("pause");
  function tell(text) { if (state.textContent !== text) { state.textContent = text; } }
  function start() {
    source = new EventSource(live.dataset.events);
    source.addEventListener("parts", function (event) {
      JSON.parse(event.data).forEach(replace);
      tellAges();
      tell("");
    });
    source.addEventListener("reload", function () { window.location.reload(); });
    source.onerror = function () { tell("connection lost, trying again"); };
  }
  function stop() { source.close(); source = null; }
  pause.hidden = false;
  pause.addEventListener("click", function () {
    if (source) { stop(); tell("paused"); } else { tell(""); start(); }
    pause.setAttribute("aria-pressed", source ? "false" : "true");
    pause.textContent = source ? "Pause" : "Resume";
  });
  start();
})();
