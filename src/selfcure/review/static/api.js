// Requests to the server this page came from.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  const response = await fetch(path, { credentials: "same-origin", ...options });
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error ?? text;
  } catch {
    // plain text, as the guard answers
  }
  throw new Refused(response.status, message || `status ${response.status}`);
}

export const get = (path, parameters = {}) => {
  const query = new URLSearchParams(parameters).toString();
  return request(query ? `${path}?${query}` : path);
};

export const post = (path, body) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Selfcure": "review" },
    body: JSON.stringify(body),
  });
