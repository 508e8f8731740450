#!/usr/bin/env python3
"""A real vLLM on a CPU, and a model small enough to make on the spot, for tests against a real engine.

    engine.py install VENV     make the virtual environment (nothing happens if it is already there)
    engine.py model DIR        write a random Llama of two layers with a byte tokenizer

The torch wheel of the package index is the CUDA build. Without a GPU none of the CUDA functions is called, but the
loader wants every library that torch's own libraries name. So `install` reads which libraries are missing and which of
their symbols are asked for, and links one empty library for each. Needs gcc and readelf, nothing else.
"""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import venv as venv_module

HERE = pathlib.Path(__file__).resolve().parent
VLLM_VERSION = "0.32.0"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


# ---------------------------------------------------------------- install

def install(venv):
    lock = HERE / "requirements.txt"
    wanted = hashlib.sha256(lock.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()
    stamp = venv / "complete"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    system_packages()
    venv_module.create(venv, with_pip=True, clear=venv.exists())
    python = venv / "bin" / "python"
    # Dependencies are not resolved: the list is complete, and torch would ask for 2 GB of CUDA packages.
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile",
        "--requirement", lock)
    site = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])",
                            capture_output=True, text=True).stdout.strip())
    # vLLM looks for the metadata of a distribution called vllm and reads its platform out of the version.
    metadata = site / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
    for library, symbols in missing_libraries(site):
        link_empty_library(site / "torch" / "lib" / library, symbols)
    # Compiled once here instead of at every start of every process of the engine.
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", site], check=False, stdout=subprocess.DEVNULL)
    run(python, "-c", "import torch; assert int(torch.ones(2).sum()) == 2")
    stamp.write_text(wanted)


def system_packages():
    libraries = run("ldconfig", "-p", capture_output=True, text=True).stdout
    missing = [package for package, present in [
        ("gcc", shutil.which("gcc")), ("libc6-dev", os.path.exists("/usr/include/stdio.h")),
        ("binutils", shutil.which("readelf")), ("libnuma1", "libnuma.so.1" in libraries),
    ] if not present]
    if missing and os.geteuid() != 0:
        sys.exit(f"please install {' '.join(missing)}")
    if missing:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)


def missing_libraries(site):
    """(file name, {version: symbols}) of every GPU library that torch's libraries name and nobody brings."""
    lib = site / "torch" / "lib"
    ours = sorted(path for path in lib.iterdir() if ".so" in path.name)
    brought = {path.name for path in ours} | {path.name for path in (site / "nvidia").rglob("*.so*")}
    named, undefined = set(), {}
    for path in ours:
        for line in run("readelf", "--wide", "--dynamic", path, capture_output=True, text=True).stdout.splitlines():
            if "(NEEDED)" in line:
                named.add(line.split("[", 1)[1].rstrip("]"))
        symbols = run("readelf", "--wide", "--dyn-syms", path, capture_output=True, text=True).stdout
        for fields in map(str.split, symbols.splitlines()):
            if len(fields) >= 8 and fields[6] == "UND":
                name, _, version = fields[7].partition("@")
                undefined.setdefault(name, version.strip("@"))
    # The longest family name wins, so cublasLt's symbols do not go to cublas.
    families = {"cublasLt": "cublasLt", "cublas": "cublas", "cudnn": "cudnn", "cufft": "cufft", "curand": "curand",
                "cusolver": "cusolver", "cusparseLt": "cusparseLt", "cusparse": "cusparse", "nccl": "nccl",
                "pncclComm": "nccl", "nvrtc": "nvrtc", "nvshmem": "nvshmem_host"}
    by_family = {}
    for name, version in undefined.items():
        family = max((prefix for prefix in families if name.startswith(prefix)), key=len, default=None)
        if family:
            by_family.setdefault(families[family], {}).setdefault(version, set()).add(name)
    known = set(families.values())
    for library in sorted(named - brought):
        family = library.removeprefix("lib").split(".so")[0]
        if family in known:
            yield library, by_family.get(family, {})


def link_empty_library(path, symbols):
    with tempfile.TemporaryDirectory() as scratch:
        source, versions = os.path.join(scratch, "empty.c"), os.path.join(scratch, "versions")
        with open(source, "w") as out:
            for name in sorted(set().union(*symbols.values()) if symbols else ()):
                out.write(f"int {name}(void) {{ return 1; }}\n")
        command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{path.name}", "-o", path, source]
        named = {version: names for version, names in symbols.items() if version}
        if named:
            with open(versions, "w") as out:
                for version, names in named.items():
                    out.write(f"{version} {{ global: {' '.join(name + ';' for name in sorted(names))} }};\n")
            command.append(f"-Wl,--version-script={versions}")
        run(*command)


# ---------------------------------------------------------------- model

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, MLP, CONTEXT = 2, 64, 2, 1, 32, 128, 2048
END, START, STOP = "<|endoftext|>", "<|start|>", "<|stop|>"
CHAT = ("{% for message in messages %}" + START + "{{ message.role }}: {{ message.content }}" + STOP
        + "{% endfor %}{% if add_generation_prompt %}" + START + "assistant: {% endif %}")


def byte_alphabet():
    """The characters that byte-level tokenizers write for the 256 bytes, in byte order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def model(directory):
    directory.mkdir(parents=True, exist_ok=True)
    specials = [END, START, STOP]
    vocabulary = {token: index for index, token in enumerate(specials + byte_alphabet())}
    marks = [dict(id=index, content=token, special=True, single_word=False, lstrip=False, rstrip=False, normalized=False)
             for index, token in enumerate(specials)]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    write(directory / "tokenizer.json", dict(
        version="1.0", truncation=None, padding=None, added_tokens=marks, normalizer=None, pre_tokenizer=byte_level,
        post_processor=None, decoder=byte_level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                   fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=vocabulary, merges=[])))
    write(directory / "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", model_max_length=CONTEXT, eos_token=STOP, pad_token=END,
        clean_up_tokenization_spaces=False, chat_template=CHAT))
    size = 320  # a multiple of 64 above the 259 tokens
    write(directory / "config.json", dict(
        architectures=["LlamaForCausalLM"], model_type="llama", torch_dtype="float32", vocab_size=size,
        hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, head_dim=HEAD_SIZE, max_position_embeddings=CONTEXT, hidden_act="silu",
        rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=specials.index(STOP), pad_token_id=specials.index(END)))
    attention, values = HEADS * HEAD_SIZE, KV_HEADS * HEAD_SIZE
    shapes = {"model.embed_tokens.weight": (size, HIDDEN), "model.norm.weight": (HIDDEN,), "lm_head.weight": (size, HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes |= {prefix + "input_layernorm.weight": (HIDDEN,), prefix + "post_attention_layernorm.weight": (HIDDEN,),
                   prefix + "self_attn.q_proj.weight": (attention, HIDDEN), prefix + "self_attn.k_proj.weight": (values, HIDDEN),
                   prefix + "self_attn.v_proj.weight": (values, HIDDEN), prefix + "self_attn.o_proj.weight": (HIDDEN, attention),
                   prefix + "mlp.gate_proj.weight": (MLP, HIDDEN), prefix + "mlp.up_proj.weight": (MLP, HIDDEN),
                   prefix + "mlp.down_proj.weight": (HIDDEN, MLP)}
    weights(directory / "model.safetensors", shapes)


def weights(path, shapes):
    """A safetensors file of float32 noise; the norms are ones. The same bytes every time."""
    import random
    noise = random.Random(7)
    header, parts, offset = {}, [], 0
    for name, shape in sorted(shapes.items()):
        count = 1
        for length in shape:
            count *= length
        scale = 1.0 if "embed" in name else 0.25
        numbers = [1.0] * count if "norm" in name else [noise.gauss(0.0, scale) for _ in range(count)]
        part = struct.pack(f"<{count}f", *numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def write(path, document):
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("install", "model"):
        sys.exit(__doc__)
    {"install": install, "model": model}[sys.argv[1]](pathlib.Path(sys.argv[2]).absolute())
