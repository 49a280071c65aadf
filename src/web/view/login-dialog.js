// Asks for the user and password, or the token, of a protected microphone.
//
// It is kept for as long as the page is open, and nowhere else.

import { title } from "../model/mounts.js";

export function ask(dialog, listening) {
  const part = (id) => dialog.querySelector(`#${id}`);
  const user = part("user");
  const secret = part("secret");
  let answered = false;

  listening.addEventListener("change", () => {
    const kind = listening.state;
    if (kind !== "password" && kind !== "token") {
      if (dialog.open) dialog.close();
      return;
    }
    answered = false;
    part("asking-title").textContent = title(listening.mount);
    part("asking-kind").textContent = kind === "password" ? "Password" : "Token";
    part("asking-about").textContent = listening.refused
      ? `This ${kind} was refused. Please try again.`
      : `Whoever runs the station gives you the ${kind}.`;
    part("asking-user").hidden = kind === "token";
    user.required = kind === "password";
    secret.value = "";
    if (!dialog.open) dialog.showModal();
  });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    answered = true;
    listening.answer({ user: user.value, [listening.state]: secret.value });
  });
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  // Escape closes it too.
  dialog.addEventListener("close", () => {
    if (!answered && ["password", "token"].includes(listening.state)) listening.stop();
  });
}
