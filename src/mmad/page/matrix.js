// The confusion matrix and the list of its largest entries.

const codeOrder = (a, b) => a.localeCompare(b, "en", { numeric: true });

/** Rows in reading order: body groups as the taxonomy has them, codes within; background and missed last. */
function matrixOrder(confusion, bodies) {
  const order = confusion.names.map((_, index) => index);
  const group = (index) => bodies.indexOf(confusion.groups[index]);
  order.sort((a, b) => group(a) - group(b) || codeOrder(confusion.codes[a], confusion.codes[b]));
  return order;
}

function drawMatrix(host, confusion, bodies, onPair) {
  const size = confusion.names.length, order = [...matrixOrder(confusion, bodies), size];
  const labels = (last) => order.map((index) => (index === size ? last : shorten(confusion.codes[index], 14)));
  const across = labels("missed"), down = labels("background");
  const letters = (words) => 8 + 6.2 * Math.max(...words.map((word) => word.length));
  const left = letters(down), top = letters(across), outer = widthOf(host);
  const cell = Math.max(12, Math.min(44, Math.floor((outer - left - 6) / (size + 1))));
  const width = left + cell * (size + 1) + 6, height = top + cell * (size + 1) + 6;
  const parts = [];
  const cut = (index, at) => index === size || (at > 0 && confusion.groups[index] !== confusion.groups[order[at - 1]]);
  order.forEach((index, at) => {
    const x = left + at * cell, y = top + at * cell, middle = (at + 0.5) * cell;
    parts.push(text(0, 0, across[at], { transform: `translate(${left + middle + 4} ${top - 6}) rotate(-90)`, class: index === size ? "faint" : null }),
      text(left - 6, top + middle + 4, down[at], { "text-anchor": "end", class: index === size ? "faint" : null }));
    if (cut(index, at)) {
      parts.push(svg("path", { d: `M${x} ${top}V${height - 6}M${left} ${y}H${width - 6}`, stroke: "var(--line)", "stroke-width": index === size ? 2 : 1 }));
    }
  });
  parts.push(svg("rect", { x: left, y: top, width: cell * (size + 1), height: cell * (size + 1), fill: "none", stroke: "var(--line)" }));
  order.forEach((row, down_) => {
    const whole = sum(confusion.matrix[row]);
    order.forEach((column, across_) => {
      const amount = confusion.matrix[row][column];
      if (!amount) return;
      const share = amount / whole;
      const colour = row === column ? "var(--good)" : column === size || row === size ? "var(--plain)" : "var(--bad)";
      const mark = svg("g", { "data-true": row, "data-predicted": column },
        svg("rect", { x: left + across_ * cell + 0.5, y: top + down_ * cell + 0.5, width: cell - 1, height: cell - 1, fill: colour, "fill-opacity": 0.1 + 0.62 * Math.sqrt(share) }));
      if (cell >= 22) {
        mark.append(text(left + (across_ + 0.5) * cell, top + (down_ + 0.5) * cell + 4, amount, { "text-anchor": "middle" }));
      }
      mark.classList.add("press");
      if (onPair) mark.addEventListener("click", () => onPair(row === size ? null : row, column === size ? null : column));
      parts.push(tip(mark, () => [
        row === size ? `background, predicted ${confusion.names[column]}`
          : column === size ? `${confusion.names[row]}, missed`
            : row === column ? `${confusion.names[row]}, found` : `${confusion.names[row]}, taken for ${confusion.names[column]}`,
        `${count(amount)} of ${count(whole)} in the row (${percent(amount, whole)})`]));
    });
  });
  show(host, canvas(width, height, "confusion matrix: rows true, columns predicted", ...parts));
}

/** Off-diagonal entries between two classes, largest first. */
function largestConfusions(confusion) {
  const size = confusion.names.length, found = [];
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      if (row !== column && confusion.matrix[row][column]) {
        found.push({ row, column, amount: confusion.matrix[row][column], whole: sum(confusion.matrix[row]),
          same: confusion.groups[row] === confusion.groups[column] });
      }
    }
  }
  return found.sort((a, b) => b.amount - a.amount || b.amount / b.whole - a.amount / a.whole);
}
