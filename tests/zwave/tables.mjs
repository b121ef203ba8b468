// Prints what the installed zwave-js knows of meters, sensors and notifications, as JSON.
// Usage: node tables.mjs FOLDER, whose node_modules holds zwave-js.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const core = require("@zwave-js/core");
const cc = require("@zwave-js/cc");

const entries = (table) => [...(table instanceof Map ? table : Object.entries(table))];
const scales = (table) => entries(table).map(([key, scale]) => ({ key: Number(key), label: scale.label, unit: scale.unit ?? "" }));
const numbers = (names) => Object.fromEntries(Object.entries(names).filter(([, number]) => typeof number === "number"));
// Values that always have the same id: what a command class shows besides its measurements.
const values = Object.entries(cc)
  .filter(([name]) => name.endsWith("CCValues"))
  .flatMap(([, defined]) => Object.values(defined))
  .filter((value) => typeof value === "object" && value.id && !value.options?.internal)
  .map((value) => ({ ...value.id, metadata: value.meta }));

const tables = {
  values,
  meters: core.getAllMeters().map((meter) => ({ key: meter.key, name: meter.name, scales: scales(meter.scales) })),
  sensors: core.getAllSensors().map((sensor) => ({ key: sensor.key, label: sensor.label, scales: scales(sensor.scales) })),
  notifications: core.getAllNotifications().map((notification) => ({
    type: notification.type,
    name: notification.name,
    variables: notification.variables.map((variable) => ({
      name: variable.name,
      idle: variable.idle,
      states: [...variable.states].map(([key, state]) => ({
        key,
        label: state.label,
        positions: state.parameter?.type === "enum" ? Object.keys(state.parameter.values).map(Number) : [],
      })),
    })),
  })),
  rates: numbers(cc.RateType),
  binarySensors: numbers(cc.BinarySensorType),
  setpoints: numbers(cc.ThermostatSetpointType),
  lockModes: numbers(cc.DoorLockMode),
  switchTypes: numbers(cc.SwitchType),
  energyProduction: numbers(cc.EnergyProductionParameter),
};
process.stdout.write(JSON.stringify(tables));
