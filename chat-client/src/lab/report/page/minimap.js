// The whole run in a strip: how many packets left when, which of them again, which were lost; and a
// window that can be dragged. What it does, the diagram's keys do as well.

class Minimap {
  constructor(canvas, ladder) {
    this.ladder = ladder;
    this.columns = null;
    this.surface = new Surface(canvas, (context, width, height) => this.paint(context, width, height));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.isHeld = true;
      this.moveTo(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (this.isHeld) this.moveTo(event); });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => { this.isHeld = false; });
    }
  }

  /** Another strategy is shown. */
  renew() {
    this.columns = null;
    this.surface.redraw();
  }

  moveTo(event) {
    const [from, to] = this.ladder.view;
    const middle = (this.surface.at(event).x / this.surface.width) * this.ladder.strategy.ends;
    this.ladder.setView(middle - (to - from) / 2, middle + (to - from) / 2);
  }

  /** Of each column of pixels: packets, retransmissions, losses. */
  counted(width) {
    if (this.columns?.length === width) return this.columns;
    const { packets, ends } = this.ladder.strategy;
    this.columns = Array.from({ length: width }, () => [0, 0, 0]);
    for (const packet of packets) {
      const column = this.columns[Math.min(width - 1, Math.floor((packet.sent / ends) * width))];
      column[0] += 1;
      if (isRetransmission(packet)) column[1] += 1;
      if (isLost(packet)) column[2] += 1;
    }
    return this.columns;
  }

  paint(context, width, height) {
    const { strategy, view } = this.ladder;
    if (!strategy) return;
    const columns = this.counted(Math.floor(width));
    const most = columns.reduce((most, [all]) => Math.max(most, all), 1);
    const floor = height - 4;
    columns.forEach(([all, again, lost], x) => {
      // Square roots: a single packet is seen beside a burst.
      const tall = (number) => Math.sqrt(number / most) * (height - 18);
      context.fillStyle = colour("first");
      context.fillRect(x, floor - tall(all), 1, tall(all));
      context.fillStyle = colour("late");
      context.fillRect(x, floor - tall(again), 1, tall(again));
      if (lost > 0) {
        context.fillStyle = colour("lost");
        context.fillRect(x, 2, 1.5, 6);
      }
    });
    const [left, right] = view.map((time) => (time / strategy.ends) * width);
    const wide = Math.max(4, right - left);
    context.fillStyle = colour("window");
    context.fillRect(left, 0, wide, height);
    context.setLineDash([]);
    context.lineWidth = 2;
    context.strokeStyle = colour("accent");
    context.strokeRect(left, 1, wide, height - 2);
  }
}
