'use strict';

// GET /: what the stand-in received, for a person.

function page(received, faults) {
  const monitors = [...received.monitors.values()].map((monitor) => {
    const series = [...received.series.values()].filter((one) => one.connection_id === monitor.connection_id);
    const rows = series.map(({ channel, parameter, value, reading_time: time }) =>
      row([channel ?? '', parameter, unit(monitor, parameter), value, time]),
    );
    const { label, module, connection_id: id } = monitor;
    return `<h3>${escape(label || id)} <small>${escape(module)}, connection_id ${escape(id)}</small></h3>
${table(['channel', 'parameter', 'unit', 'newest value', 'reading_time'], rows)}`;
  });
  const refused = received.refused.slice(-10).reverse().map((one) => row([one.event, one.message_id, one.code, one.message]));
  const on = Object.entries(faults.values).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>RESET stand-in</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1b2430 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d5dbe3 }
small { font-weight: normal; color: #566 } .bad { color: #a3160f; font-weight: 600 }
</style></head><body>
<h1>RESET stand-in</h1>
<p>Not the RESET Cloud: a simulation on this computer. What it received: <a href="/received.json">received.json</a>.
Faults: ${on.length ? escape(on.join(', ')) : 'none'} (<a href="/faults">all switches</a>).</p>
${table(['messages', 'monitors', 'values', 'repeated', 'conflicts', 'out of order', 'counters that fell', 'refused'], [row([
    `auth ${received.counts.auth}, monitors ${received.counts.monitors}, readings ${received.counts.readings}`,
    received.monitors.size,
    received.slots.size,
    received.sequence - received.slots.size,
    received.conflicts.length,
    received.outOfOrder.length,
    received.falls.length,
    received.refused.length,
  ])])}
<h2>Monitors</h2>
${monitors.join('\n') || '<p>None yet.</p>'}
<h2>Refused, newest first</h2>
${refused.length ? table(['event', 'message_id', 'code', 'message'], refused) : '<p>Nothing.</p>'}
</body></html>
`;
}

function unit(monitor, parameter) {
  const declared = monitor.meta.included_parameters[parameter];
  return declared ? declared.unit : '';
}

function table(heads, rows) {
  return `<table><tr>${heads.map((head) => `<th>${escape(head)}</th>`).join('')}</tr>${rows.join('')}</table>`;
}

function row(cells) {
  return `<tr>${cells.map((cell) => `<td>${escape(cell ?? 'missing')}</td>`).join('')}</tr>`;
}

function escape(value) {
  const marks = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return String(value).replace(/[&<>"']/g, (mark) => marks[mark]);
}

module.exports = { page };
