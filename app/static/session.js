// Exchanges the one-time ticket for the session cookie, which no script ever sees, and opens the page again.
(async () => {
  const script = document.currentScript;
  const place = script.parentElement;
  const answer = await fetch("/auth/session", { method: "POST", body: script.dataset.ticket });
  const address = new URL(location.href);
  const linked = address.searchParams.has("welcome"); // a link to choose a password is used up by now
  address.searchParams.delete("welcome");
  if (answer.ok && linked) location.replace(address);
  else if (answer.ok) location.reload();
  else place.textContent = await answer.text();
})();
