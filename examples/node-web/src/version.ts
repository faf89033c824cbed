/** What `/version` answers. Edit it: only `npm run build` runs again. */
export const version = "1.0.0";
