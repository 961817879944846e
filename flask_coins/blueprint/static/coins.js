/* Flask-Coins: toasts for what was paid, the badge's number, and how long ago things were.
   Pages work without it. FlaskCoins.show(header) shows what a Coins-Awarded header tells. */
(() => {
  "use strict";
  const MOST = 3; // toasts at once
  const STAYS = 7000; // milliseconds
  const quiet = document.currentScript?.dataset.fetch === "off";
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // -- the header: a List of RFC 9651; what breaks its rules is ignored as a whole ------------------

  const KEY = /[a-z*][a-z0-9_.*-]*/y;
  const BARE = [
    [/(?:-?\d{1,15})(?![\d.])/y, Number],
    [/-?\d{1,12}\.\d{1,3}(?!\d)/y, Number],
    [/"((?:[ !#-\[\]-~]|\\["\\])*)"/y, (all, text) => text.replace(/\\(.)/g, "$1")],
    [/%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"/y, (all, text) => decodeURIComponent(text)],
    [/[A-Za-z*][\w!#$%&'*+.^`|~:\/-]*/y, String],
    [/\?([01])/y, (all, bit) => bit === "1"],
    [/@-?\d{1,15}/y, String],
    [/:[A-Za-z0-9+\/]*={0,2}:/y, String],
  ];

  function parse(header) {
    const items = [];
    let at = 0;
    const take = (pattern) => {
      pattern.lastIndex = at;
      const match = pattern.exec(header);
      if (match) at = pattern.lastIndex;
      return match;
    };
    const bare = () => {
      for (const [pattern, read] of BARE) {
        const match = take(pattern);
        if (match) return read(...match);
      }
      throw new SyntaxError(header);
    };
    take(/ */y);
    while (at < header.length) {
      const item = { value: bare() };
      while (take(/; */y)) {
        const key = take(KEY);
        if (!key) throw new SyntaxError(header);
        item[key[0]] = take(/=/y) ? bare() : true;
      }
      items.push(item);
      take(/[ \t]*/y);
      if (at < header.length && !(take(/,[ \t]*/y) && at < header.length)) throw new SyntaxError(header);
    }
    return items;
  }

  // -- toasts ---------------------------------------------------------------------------------------

  const region = () => document.querySelector("[data-coins-toasts]");
  const said = (number) => number.toLocaleString(region()?.lang || undefined);

  function sum(amount, currency) {
    const size = Math.abs(amount);
    const forms = Object.entries(JSON.parse(region().dataset.forms));
    const rules = new Intl.PluralRules(region().lang || undefined);
    const same = forms.find(([sample]) => rules.select(+sample) === rules.select(size));
    const form = currency === "coins" ? (same || forms.at(-1))[1] : `# ${currency}`;
    return (amount < 0 ? "−" : "+") + form.replace("#", () => said(size));
  }

  function words(reason) {
    const known = new Map(Object.entries(JSON.parse(region().dataset.reasons)));
    const spaced = reason.replaceAll("_", " ");
    return known.get(reason) || spaced.charAt(0).toUpperCase() + spaced.slice(1);
  }

  function remove(toast) {
    if (toast.contains(document.activeElement)) {
      const next = toast.nextElementSibling?.querySelector("button") || toast.previousElementSibling?.querySelector("button");
      next?.focus();
    }
    toast.classList.add("coins-leaving");
    setTimeout(() => toast.remove(), calm() ? 0 : 300);
  }

  function live(toast) {
    const leave = () => {
      if (region()?.matches(":hover, :focus-within")) toast.timer = setTimeout(leave, STAYS / 2);
      else remove(toast);
    };
    clearTimeout(toast.timer);
    toast.timer = setTimeout(leave, STAYS);
    region().append(toast);
  }

  function made(title, text) {
    const toast = region().querySelector("template").content.firstElementChild.cloneNode(true);
    toast.querySelector("strong").textContent = title;
    toast.querySelector("strong + span").textContent = text;
    return toast;
  }

  function fold(count) {
    const there = region().querySelector("[data-more]");
    const toast = there || made("", "");
    toast.dataset.more = count + Number(toast.dataset.more || 0);
    const form = all("template", region())[1].content.textContent;
    toast.querySelector("strong").textContent = form.replace("#", said(+toast.dataset.more));
    live(toast);
  }

  function toast(item) {
    if (all(".coins-toast:not([data-more])", region()).length >= MOST) return fold(1);
    const shown = made(sum(item.amount, item.currency || "coins"), words(String(item.value)));
    shown.classList.toggle("coins-went", item.amount < 0);
    live(shown);
    if (item.amount > 0) fly(shown, item.currency || "coins");
  }

  // -- the badge, and the coin on its way there -----------------------------------------------------

  const badges = (currency) => all("[data-coins-badge]").filter((badge) => badge.dataset.coinsBadge === currency);

  function count(item) {
    for (const badge of badges(item.currency || "coins")) {
      badge.querySelector("[data-coins-balance]").textContent = said(item.balance);
    }
  }

  function fly(shown, currency) {
    const from = shown.querySelector(".coins-coin");
    const badge = badges(currency)[0];
    if (!from || !badge || calm()) return;
    const start = from.getBoundingClientRect();
    const end = badge.getBoundingClientRect();
    const coin = from.cloneNode();
    coin.classList.add("coins-flying");
    Object.assign(coin.style, { left: `${start.x}px`, top: `${start.y}px` });
    document.body.append(coin);
    const way = `${end.x - start.x}px ${end.y - start.y}px`;
    const flight = coin.animate({ translate: ["0 0", way], scale: [1, 0.6] }, { duration: 800, delay: 300, easing: "ease-in" });
    flight.onfinish = () => {
      coin.remove();
      badge.classList.add("coins-bump");
      badge.onanimationend = () => badge.classList.remove("coins-bump");
    };
  }

  // -- what was paid --------------------------------------------------------------------------------

  function show(header) {
    let items;
    try {
      items = parse(header || "");
    } catch {
      return;
    }
    for (const item of items) {
      if (!Number.isInteger(item.amount) || item.amount === 0) continue;
      if (region()) toast(item);
      if (Number.isInteger(item.balance)) count(item);
    }
  }

  const ours = (url) => !url || new URL(url, location).origin === location.origin;

  if (window.fetch && !quiet) {
    const fetch = window.fetch;
    window.fetch = function (...request) {
      const answer = fetch.apply(this, request);
      answer.then((response) => ours(response.url) && show(response.headers.get("Coins-Awarded")), () => {});
      return answer;
    };
  }
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const request = detail?.xhr;
    if (request && ours(request.responseURL)) show(request.getResponseHeader("Coins-Awarded"));
  });

  // -- the page as it came --------------------------------------------------------------------------

  function ago(element) {
    const minutes = Math.round((Date.parse(element.dateTime) - Date.now()) / 60000);
    if (Math.abs(minutes) >= 12 * 60) return;
    const words = new Intl.RelativeTimeFormat(document.documentElement.lang || undefined, { numeric: "auto" });
    element.textContent = Math.abs(minutes) < 60 ? words.format(minutes, "minute") : words.format(Math.round(minutes / 60), "hour");
  }

  document.addEventListener("click", ({ target }) => {
    const shown = target.closest?.(".coins-toast button")?.closest(".coins-toast");
    if (shown) remove(shown);
  });
  document.addEventListener("keydown", ({ key, target }) => {
    const shown = key === "Escape" && target.closest?.(".coins-toast");
    if (shown) remove(shown);
  });
  // Put in once more, a moment later: a region tells of what changes, not of what it came with.
  const waiting = region() ? all(".coins-toast", region()) : [];
  setTimeout(() => {
    for (const shown of waiting) {
      live(shown);
      const went = shown.classList.contains("coins-went");
      if (!went && shown.querySelector("strong + span").textContent) fly(shown, "coins");
    }
  }, 100);
  all("[data-coins-moment]").forEach(ago);

  window.FlaskCoins = { show, parse };
})();
