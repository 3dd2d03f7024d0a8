"""What a platform lets only a person do, as numbered steps with links."""

from __future__ import annotations

from assistant.words import Text

from ..target import Target
from .profiles import Profile


def numbered(steps: list[Text]) -> Text:
    """The steps, one a line."""
    return Text(
        "\n".join(f"{number}. {step.en}" for number, step in enumerate(steps, 1)),
        "\n".join(f"{number}. {step.zh}" for number, step in enumerate(steps, 1)),
    )


def remaining_steps(
    target: Target, profile: Profile, url: str, repository: str, variable: str
) -> list[Text]:
    """What is left for a person after the bundle lies in its repository."""
    if profile.name == "hf-gpu":
        return [
            Text(f"Choose the GPU, which is billed by the hour: {url}/settings (suggested: {profile.hardware}), "
                 "and set a sleep time.",
                 f"选择显卡（按小时计费）：{url}/settings（建议 {profile.hardware}），并设置休眠时间。"),
            Text(f"Watch it start: {url}?logs=container", f"查看启动过程：{url}?logs=container"),
        ]  # fmt: skip
    if profile.is_static:
        return [Text(f"Open it and ask something: {url}", f"打开并问一句：{url}")]
    if profile.on_zerogpu:
        return [
            Text(
                f"See that its hardware is ZeroGPU: {url}/settings",
                f"确认硬件是 ZeroGPU：{url}/settings",
            ),
            Text(f"Watch it start: {url}?logs=container", f"查看启动过程：{url}?logs=container"),
        ]
    if profile.hub == "hf":
        return [
            Text(f"Watch it start: {url}?logs=container", f"查看启动过程：{url}?logs=container")
        ]
    if profile.hub == "modelscope":
        steps = [Text(f"Watch it start: {url}", f"查看启动过程：{url}")]
        if profile.name == "modelscope-xgpu":
            steps.insert(0, Text(
                "Join https://modelscope.cn/organization/xGPU-Explorers once: without it the GPU is refused.",
                "先加入 https://modelscope.cn/organization/xGPU-Explorers：否则不能使用 GPU。",
            ))  # fmt: skip
        return steps
    return _openxlab(target, profile, repository, variable)


def _openxlab(target: Target, profile: Profile, repository: str, variable: str) -> list[Text]:
    gpu = profile.engine == "turbomind"
    hardware = (
        Text("a GPU (by application form)", "GPU（需填表申请）")
        if gpu
        else Text("2 vCPU, 8 GB", "2 核 8 GB")
    )
    secrets = Text("none are needed", "不需要")
    if variable:
        secrets = Text(f"set {variable} to a token that may only read the weights",
                       f"把 {variable} 设为只能读取权重的令牌")  # fmt: skip
    return [
        Text("Sign in at https://openxlab.org.cn/apps and choose: create, Gradio.",
             "登录 https://openxlab.org.cn/apps，选择：创建应用，Gradio。"),
        Text(f"Connect GitHub and choose the repository {repository}, branch main.",
             f"关联 GitHub，选择仓库 {repository}，分支 main。"),
        Text(f"Name {target.name}; start file app.py; hardware: {hardware.en}.",
             f"名称 {target.name}；启动文件 app.py；硬件：{hardware.zh}。"),
        Text("Choose an image with Python 3.10 or newer. The documented default (Ubuntu 18.04, Python 3.9) is too "
             "old: installing the requirements fails there.",
             "选择 Python 3.10 或更新的镜像。文档中的默认镜像（Ubuntu 18.04、Python 3.9）太旧，安装依赖就会失败。"),
        Text(f"Environment variables: {secrets.en}.", f"环境变量：{secrets.zh}。"),
        Text("Start it and watch its log; the page is served on port 7860.", "启动并查看日志；页面在 7860 端口。"),
    ]  # fmt: skip
