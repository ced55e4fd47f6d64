import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { watchCalls } from "./calls.js";
import "./styles.css";

watchCalls();
const page = document.getElementById("page") as HTMLElement;
createRoot(page).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
