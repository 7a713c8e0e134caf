// A table as a file of comma-separated values (RFC 4180), as spreadsheets open it.

/** A cell that begins like this would be a formula to a spreadsheet. */
const FORMULA = /^[=+\-@\t\r]/;

/** The text of rows of cells; a null is an empty cell, numbers have a decimal point. */
export function text(rows) {
  return rows.map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Hands the reader a file. */
export function save(name, content) {
  // Spreadsheets take a file for UTF-8 only when it begins with this mark.
  const url = URL.createObjectURL(new Blob(["\ufeff", content], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
