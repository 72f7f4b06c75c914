// A canvas that keeps the size of its element, sharp on every screen, and draws once per frame.

class Surface {
  /** `paint(context, width, height)` draws everything, in CSS pixels. */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    this.isDue = false;
    this.width = 0;
    this.height = 0;
    new ResizeObserver(() => this.fit()).observe(canvas);
    onTheme.add(() => this.redraw());
    this.fit();
  }

  fit() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    // A canvas that was resized is empty: waiting for the next frame would flicker.
    this.drawNow();
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.drawNow();
    });
  }

  drawNow() {
    if (this.width < 1 || this.height < 1) return;
    const context = this.canvas.getContext("2d");
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.paint(context, this.width, this.height);
  }

  /** Where a pointer is, in CSS pixels from the top left corner. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
}

function drawLine(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** Text on a background of its own, so that lines behind it do not strike it through. */
function drawLabel(context, text, x, y, align = "left") {
  context.textAlign = align;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.setLineDash([]);
  context.strokeStyle = colour("paper");
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}
