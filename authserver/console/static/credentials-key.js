// The page that adds a key: makes a pair in the browser. The private half is shown here once, and is in no form.

const button = document.getElementById("make-pair");
const shown = document.getElementById("private-key");
const download = document.getElementById("private-key-download");
const P256 = { name: "ECDSA", namedCurve: "P-256" };

const binary = (bytes) => String.fromCharCode(...new Uint8Array(bytes));
const base64url = (bytes) => btoa(binary(bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function pem(der) {
  const lines = btoa(binary(der)).match(/.{1,64}/g);
  return ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""].join("\n");
}

async function make() {
  const pair = await crypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  // In the order of RFC 7638, so that its hash is the thumbprint.
  const jwk = JSON.stringify({ crv, kty, x, y });
  shown.textContent = pem(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  document.querySelector('[name="public_key"]').value = jwk;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(jwk));
  document.getElementById("key-thumbprint").textContent = base64url(digest);
  document.getElementById("made-pair").hidden = false;
  shown.focus();
}

// Only pages that came by https, or from this machine, may use it.
if (window.crypto?.subtle) {
  document.getElementById("in-browser").hidden = false;
  button.addEventListener("click", make);
  download.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([shown.textContent], { type: "application/octet-stream" }));
    link.download = download.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
