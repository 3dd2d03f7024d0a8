"""Colours, type and spacing: one accent, system fonts (nothing is fetched from elsewhere)."""

from __future__ import annotations

import gradio as gr

_FONTS = (
    "system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "sans-serif",
)  # fmt: skip
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The theme; `static/page.css` places things and adds what a theme cannot say."""
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="lg", text_size="md",
        font=_FONTS, font_mono=_MONO,
    )  # fmt: skip
    return base.set(
        body_background_fill="#fcfbf9",
        body_background_fill_dark="#161513",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1d1c1a",
        background_fill_secondary="#f5f3ef",
        background_fill_secondary_dark="#211f1d",
        body_text_color="#1f1d1a",
        body_text_color_dark="#ebe8e3",
        body_text_color_subdued="#6b655d",
        body_text_color_subdued_dark="#a8a199",
        border_color_primary="#e4e0d9",
        border_color_primary_dark="#34312d",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1d1c1a",
        input_border_color="#d9d4cb",
        input_border_color_dark="#3d3935",
        color_accent="#0f766e",
        color_accent_soft="#e3f1ee",
        color_accent_soft_dark="#143733",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover="#0b5f58",
        button_primary_background_fill_hover_dark="#138a80",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#f0ede7",
        button_secondary_background_fill_hover_dark="#2a2825",
        button_secondary_border_color="#d9d4cb",
        button_secondary_border_color_dark="#3d3935",
    )
