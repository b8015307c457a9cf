// Sign-in by a one-time code, in a dialog.

import { call, post, setSignIn, signIn } from "./api.js";
import { fill, h } from "./dom.js";

function field(label, attributes) {
  const input = h("input", { id: attributes.name, required: true, ...attributes });
  return { row: h("p", h("label", { for: attributes.name }, label), input), input };
}

/** Opens the dialog; resolves to the user, or to null when it was closed. */
export function askToSignIn() {
  return new Promise((resolve) => {
    const message = h("p.message", { role: "alert" });
    const contact = field("Mail address", { name: "identifier", type: "email", autocomplete: "email" });
    const code = field("Code from the mail", {
      name: "code",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      pattern: "[0-9]{6}",
      maxlength: 6,
    });
    const form = h("form", { method: "dialog" });
    const dialog = h("dialog.sign-in", { "aria-labelledby": "sign-in-title" }, form);
    let user = null;

    const attempt = (action) => async (event) => {
      event.preventDefault();
      fill(message);
      try {
        await action();
      } catch (problem) {
        fill(message, problem.message);
      }
    };

    const showContact = () => {
      form.onsubmit = attempt(async () => {
        await post("/v1/auth/otp/request", { identifier: contact.input.value, channel: "email" });
        showCode();
      });
      fill(
        form,
        h("h2", { id: "sign-in-title" }, "Sign in"),
        h("p", "We send a code of six digits. No password."),
        contact.row,
        message,
        h("p.actions", h("button.primary", { type: "submit" }, "Send code"), closeButton()),
      );
      contact.input.focus();
    };

    const showCode = () => {
      form.onsubmit = attempt(async () => {
        const { body } = await call("POST", "/v1/auth/otp/verify", {
          body: { identifier: contact.input.value, code: code.input.value.trim() },
        });
        setSignIn(body);
        user = body.user;
        dialog.close();
      });
      fill(
        form,
        h("h2", { id: "sign-in-title" }, "Enter the code"),
        h("p", `Sent to ${contact.input.value}. It is valid for five minutes.`),
        code.row,
        message,
        h("p.actions", h("button.primary", { type: "submit" }, "Sign in"), closeButton()),
      );
      code.input.focus();
    };

    const closeButton = () => h("button", { type: "button", onClick: () => dialog.close() }, "Cancel");

    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(user);
    });
    document.body.append(dialog);
    showContact();
    dialog.showModal();
  });
}

/** The button in the page's head: sign in, or who is signed in and out again. */
export function accountButton() {
  const current = signIn();
  if (!current) return h("button", { type: "button", id: "sign-in", onClick: askToSignIn }, "Sign in");
  const name = current.user.handle || "signed in";
  const leave = async () => {
    await call("POST", "/v1/auth/logout", { body: {} }).catch(() => null);
    setSignIn(null);
  };
  return h("span.account", h("span", { id: "account-name" }, name), h("button", { type: "button", onClick: leave }, "Sign out"));
}
