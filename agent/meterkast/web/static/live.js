// Keeps the page live: takes changed parts from /events and puts them in place, without losing what a person
// has opened, selected or scrolled to. The page is complete without it.
"use strict";
(() => {
  const body = document.body;
  const live = document.getElementById("live");
  const AGAIN_MS = 10_000; // all places for live pages are taken, or the gateway is gone
  const LATE_MS = 20_000; // a heartbeat comes every 14 s at least, and ages change every 2 s
  let source = null;
  let heard = 0;
  let again = 0;

  const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

  // Make `from` look like `to`, touching only what differs.
  const morph = (from, to) => {
    const [was, will] = [[...from.childNodes], [...to.childNodes]];
    will.forEach((node, place) => {
      const old = was[place];
      if (!old) from.append(node);
      else if (old.nodeType !== node.nodeType || old.nodeName !== node.nodeName) old.replaceWith(node);
      else if (node.nodeType !== Node.ELEMENT_NODE) {
        if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
      } else {
        attributes(old, node);
        morph(old, node);
      }
    });
    was.slice(will.length).forEach((node) => node.remove());
  };

  const attributes = (old, node) => {
    const kept = (name) => old.nodeName === "DETAILS" && name === "open"; // the reader's own choice
    for (const { name, value } of [...node.attributes]) {
      if (!kept(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!kept(name) && !node.hasAttribute(name)) old.removeAttribute(name);
    }
  };

  const say = (state, text) => {
    body.dataset.live = state;
    if (live.textContent !== text) live.textContent = text;
  };

  const lost = () => {
    if (body.dataset.live === "lost") return;
    const when = heard ? new Date(heard).toLocaleTimeString([], { hour12: false }) : "it was opened";
    say("lost", `No connection: this is as of ${when}`);
  };

  // The chart and its table: asked for again when a half-hour was closed, one request at a time.
  let asking = false;
  let missed = false;
  const renewHalfHours = async () => {
    if (asking) {
      missed = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch(`/half-hours${location.search}`);
      if (answer.ok) {
        const place = document.getElementById("half-hours");
        const fresh = document.createElement("div");
        fresh.innerHTML = await answer.text();
        window.meterkastChart.renew(place, fresh);
      }
    } catch {
      // The live connection tells that the gateway is gone; the next half-hour asks again.
    } finally {
      asking = false;
      if (missed) {
        missed = false;
        setTimeout(renewHalfHours, 2000);
      }
    }
  };

  const take = (parts) => {
    if (parts.stamp && parts.stamp !== body.dataset.stamp) return location.reload(); // a newer release serves
    if (parts.title) document.title = parts.title;
    for (const name of ["verdict", "products", "uplinks", "gateway"]) {
      if (parts[name] !== undefined) morph(document.getElementById(name), parsed(parts[name]));
    }
    if (parts.closed && parts.closed !== body.dataset.closed) {
      body.dataset.closed = parts.closed;
      renewHalfHours();
    }
  };

  const connect = () => {
    clearTimeout(again);
    source?.close();
    source = new EventSource("/events");
    source.onmessage = (event) => {
      heard = Date.now();
      take(JSON.parse(event.data));
      say("live", "Live");
    };
    source.onerror = () => {
      lost();
      // The browser tries again by itself, except after an answer that was a refusal.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, AGAIN_MS);
    };
  };

  // A page nobody looks at gives its place to another.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(again);
      source?.close();
    } else connect();
  });
  window.addEventListener("pagehide", () => source?.close());
  setInterval(() => {
    if (!document.hidden && heard && Date.now() - heard > LATE_MS) lost();
  }, 5000);

  document.addEventListener("change", (event) => {
    if (event.target.id === "property") event.target.form.requestSubmit();
  });
  body.dataset.script = "yes";
  connect();
})();
