"""The words of the Share page, in both languages."""

from __future__ import annotations

from assistant.words import Text

TAB = Text("Share", "分享")
TITLE = Text("Share your assistant", "分享你的助手")
LEAD = Text(
    "Nothing leaves this machine before you have read the plan and confirmed it. Tokens come from the "
    "environment or the hub's own login; this page neither asks for one nor shows it.",
    "在你看过计划并确认之前，不会发送任何内容。令牌取自环境变量或平台自己的登录；本页不询问也不显示令牌。",
)
RUN = Text("Run", "训练结果")
WHAT = Text("What", "分享什么")
KINDS = {
    "merged": Text("Model, whole", "完整模型"),
    "adapter": Text("Adapter only", "仅 adapter"),
    "app": Text("Chat app", "对话应用"),
}
TARGET = Text("Where to", "分享到哪里")
TARGET_INFO = Text(
    "hf:owner/name, modelscope:owner/name or openxlab:owner/name",
    "hf:用户名/名称、modelscope:用户名/名称 或 openxlab:用户名/名称",
)
WHO_SEES = Text("Who may see it", "谁能看到")
ONLY_ME = Text("Only me (private)", "仅自己（私有）")
EVERYONE = Text("Everyone (public)", "所有人（公开）")
ANYWAY = Text("Share although the check did not pass; the model's page will say so",
              "未通过检验也分享；模型页会注明")  # fmt: skip
PLAN = Text("Show the plan", "查看计划")
CONFIRM = Text("Share as shown", "按计划分享")
CONFIRM_PUBLIC = Text("Share as shown, for everyone to see", "按计划公开分享，所有人可见")
AS_SENT = Text("Everything is there as planned already; nothing is to be sent.",
               "平台上的内容已与计划一致，无需发送。")  # fmt: skip
DONE = Text("Shared and verified: {files} files.", "已分享并核对：{files} 个文件。")
LEFT = Text("What is left for you:", "剩下的由你来做：")
NOTHING = Text("There is nothing to share yet. Train first: python -m train all",
               "还没有可以分享的内容。请先训练：python -m train all")  # fmt: skip

TO = Text("To", "去向")
ACCOUNT = Text("Account", "账号")
NO_ACCOUNT = Text("none", "无")
VISIBILITY = Text("Visibility", "可见范围")
CHECK = Text("Check", "检验")
FILES = Text("Files", "文件")
CHECKS = {
    "passed": Text("passed", "通过"),
    "failed": Text("not passed", "未通过"),
    "missing": Text("never checked", "没有检验过"),
    "other weights": Text("made of other weights", "检验的是另一份权重"),
    "-": Text("is the model's own", "见模型自己的检验"),
}
SENDS = Text("{sent} of {total} to send, {some} of {files} files",
             "要发送 {sent}（共 {total}），{files} 个文件中的 {some} 个")  # fmt: skip
