// Search that ignores case, accents, vowel signs, tatweel, forms of alef, hamza and ya, and the script of digits.

const ARABIC = { ى: "ي", ی: "ي", ئ: "ي", ؤ: "و", ة: "ه", ک: "ك", ٱ: "ا", ء: "", ـ: "" };

/** @param {string} text */
function plain(text) {
  return text
    .normalize("NFKD") // presentation forms to letters; alef with hamza to alef and a mark
    .replace(/\p{M}/gu, "")
    .replace(/[\u0649\u06cc\u0626\u0624\u0629\u06a9\u0671\u0621\u0640]/g, (letter) => ARABIC[letter])
    .replace(/[\u0660-\u0669]/g, (digit) => String(digit.charCodeAt(0) - 0x0660))
    .replace(/[\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) - 0x06f0))
    .replace(/[\u200b-\u200f\u061c]/g, "")
    .toLowerCase();
}

// Return a predicate of rows: every word of the query must match. A number is a SignID, or part of a clip's name.
/** @type {(query: string) => (row: Row) => boolean} */
function matcher(query) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  if (!words.length) return () => true;
  return (row) => {
    row.plain ??= plain(`${row.en} ${row.ar} ${row.id} ${row.link}`);
    return words.every((word) =>
      /^\d{1,4}$/.test(word) && row.sign !== null ? Number(word) === row.sign || row.en === word : row.plain.includes(word),
    );
  };
}

/** @param {Row} row */
const signText = (row) =>
  row.sign !== null ? String(row.sign).padStart(4, "0") : row.label !== null ? `label ${row.label}` : "";
/** @param {Row} row */
const titleOf = (row) => [signText(row), row.en || row.id.split("/").pop()].filter(Boolean).join(" · ");

// Return true if a font has Arabic letters: without one, two letters are drawn as the same box.
function drawsArabic() {
  const pictures = ["ش", "م"].map((letter) => {
    const canvas = el("canvas", { width: 40, height: 40 });
    const pen = canvas.getContext("2d");
    pen.font = `28px ${getComputedStyle(document.body).fontFamily}`;
    pen.fillText(letter, 8, 28);
    return String(pen.getImageData(0, 0, 40, 40).data);
  });
  return pictures[0] !== pictures[1];
}
