"""Builds a virtual environment: VENV STAMP-FILE STAMP UV REQUIREMENT..."""
import importlib.util, os, shutil, subprocess, sys, venv

target, stamp_file, stamp, uv = sys.argv[1:5]
requirements = sys.argv[5:]
python = os.path.join(target, "bin", "python")


def shared_pip():
    """Reports whether this interpreter's pip can install into another environment."""
    try:
        import pip
        return tuple(int(n) for n in pip.__version__.split(".")[:2]) >= (22, 3)
    except Exception:
        return False


def create():
    for name in os.listdir(target):
        if not name.startswith(".healbot-"):
            path = os.path.join(target, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
    own = not uv and not shared_pip()
    if own and not importlib.util.find_spec("ensurepip"):
        sys.exit("ERROR: %s has neither pip nor ensurepip: install python3-venv or python3-pip" % sys.executable)
    print("healbot: python -m venv " + target, flush=True)
    venv.EnvBuilder(with_pip=own, symlinks=True).create(target)
    wrapper = os.path.join(target, "bin", "pip")
    if not uv and not own:
        # Else "pip" in the environment would be the one that installs elsewhere.
        with open(wrapper, "w") as f:
            f.write('#!/bin/sh\nexec "%s" -m pip --python "%s" "$@"\n' % (sys.executable, python))
        os.chmod(wrapper, 0o755)


def install():
    args = [a for r in requirements for a in ("-r", r)]
    inside = os.path.join(target, "lib", "python%d.%d" % sys.version_info[:2], "site-packages", "pip")
    if uv:
        argv = [uv, "pip", "install", "--python", python] + args
    elif os.path.isdir(inside) or not shared_pip():
        argv = [python, "-m", "pip", "install"] + args
    else:
        argv = [sys.executable, "-m", "pip", "--python", python, "install"] + args
    if requirements:
        print("healbot: pip install " + " ".join(args), flush=True)
        code = subprocess.call(argv)
        if code != 0:
            sys.exit(code if code > 0 else 1)


if not os.access(python, os.X_OK):
    create()
install()
with open(stamp_file + ".new", "w") as f:
    f.write(stamp)
os.replace(stamp_file + ".new", stamp_file)
