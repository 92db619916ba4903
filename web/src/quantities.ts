/** What is measured, in the units the node stores, in the order a panel lists it. */
export const QUANTITIES = [
  { name: 'pm25', unit: 'µg/m³' },
  { name: 'pm10', unit: 'µg/m³' },
  { name: 'o3', unit: 'ppb' },
  { name: 'no2', unit: 'ppb' },
  { name: 'so2', unit: 'ppb' },
  { name: 'co', unit: 'ppm' },
  { name: 'pm1', unit: 'µg/m³' },
  { name: 'temperature', unit: '°C' },
  { name: 'humidity', unit: '%' },
  { name: 'pressure', unit: 'hPa' },
] as const;
