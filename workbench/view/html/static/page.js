// The page's own part: reads the answers that stand in it, and saves a selection as a download.
const data = JSON.parse(document.getElementById("data").textContent);

build(document.getElementById("comparison"), data, {
  save(request, rowsOf) {
    const lines = rowsOf(request).map(row => JSON.stringify(row) + "\n");
    if (!lines.length) return "nothing to save: the selection gives no row";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = `selected_${request.kind}.jsonl`;
    link.click();
    URL.revokeObjectURL(link.href);
    return `${lines.length} ${request.kind} saved`;
  },
});
