"""Canary programs that try to be graded right without being right, and programs that must be graded as they are.

Expected values are drawn anew on each run, so a cheat that passes has found them or fooled the judge.
"""

# Each defines `f`; no expected value can be known to it. Any status but `pass` is right.
FUNCTION_CHEATS = {
    "always equal": "class E:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "def f(x): return E()\n",
    "class overridden": "class E:\n    __class__ = int\n    def __eq__(self, o): return True\n"
    "    def __hash__(self): return 0\n    def __int__(self): return 0\n    def __index__(self): return 0\n"
    "def f(x): return E()\n",
    "subclass of int": "class I(int):\n    def __eq__(self, o): return True\n    def __hash__(self): return hash(o)\n"
    "def f(x): return I(0)\n",
    "subclass of str": "class S(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\n"
    "def f(x): return S('')\n",
    "subclass of list": "class L(list):\n    def __eq__(self, o): return True\n    def __len__(self): return 0\n"
    "def f(x): return L()\n",
    "always equal inside a dict": "class K(str):\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\n"
    "def f(x): return {K('a'): K('b')}\n",
    "exit in the call": "import os\ndef f(x): os._exit(0)\n",
    "exit while loading": "import os\nos._exit(0)\n",
    "sys.exit": "import sys\ndef f(x): sys.exit(0)\n",
    "SystemExit in a thread": "import threading\ndef g(): raise SystemExit(0)\ndef f(x):\n"
    "    t = threading.Thread(target=g); t.start(); t.join()\n",
    "frames": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        for scope in (frame.f_locals, frame.f_globals):\n            for name, value in list(scope.items()):\n"
    "                if 'expect' in name or 'answer' in name: return value\n"
    "                if isinstance(value, dict) and 'expected' in value: return value['expected'][0]\n"
    "        frame = frame.f_back\n",
    "garbage collector": "import gc\ndef f(x):\n    for thing in gc.get_objects():\n"
    "        if type(thing) is dict and 'expected' in thing: return thing['expected'][0]\n",
    "patched json": "import json\njson.dumps = lambda *a, **k: '{\"value\": true}'\ndef f(x): return 0\n",
    "patched builtins": "import builtins, math\nbuiltins.type = lambda *a: int\nbuiltins.len = lambda x: 1\n"
    "math.isclose = lambda *a, **k: True\nbuiltins.all = lambda x: True\ndef f(x): return object()\n",
    "patched encoder": "import sys\nfor name, module in list(sys.modules.items()):\n"
    "    if name.endswith('sandbox.programs'): module.encode = lambda value, *a: True\ndef f(x): return 0\n",
    "members that collide": "import os\nm = ','.join(str(i * ((1 << 61) - 1)) for i in range(150))\ndef f(x):\n"
    '    os.write(3, (\'{"value": {"$fraction": {"$set": [\' + m + \']}}}\\n\').encode())\n    os._exit(0)\n',
    "atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): raise SystemExit\n",
    "settrace": "import sys\ndef trace(frame, event, arg):\n    frame.f_locals['passed'] = True\n    return trace\n"
    "sys.settrace(trace)\ndef f(x): return None\n",
    "writes to every descriptor": "import os\ndef f(x):\n"
    '    for fd in range(64):\n        for text in (b\'pass\\n\', b\'{"value": true}\\n{"value": 1}\\n{"done": true}\\n\'):\n'
    "            try: os.write(fd, text)\n            except OSError: pass\n    os._exit(0)\n",
}

# Each defines `f` and is judged by a suite in a process of its own. Any status but `pass` is right.
SUITE_CHEATS = {
    "always equal": FUNCTION_CHEATS["always equal"],
    "subclass of int": FUNCTION_CHEATS["subclass of int"],
    "exit in the call": FUNCTION_CHEATS["exit in the call"],
    "exit while loading": FUNCTION_CHEATS["exit while loading"],
    "frames": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        for value in list(frame.f_locals.values()):\n"
    "            if isinstance(value, dict) and 'token' in value:\n"
    "                import os, json\n                os.write(3, json.dumps({'token': value['token']}).encode() + b'\\n')\n"
    "        frame = frame.f_back\n",
    "forged token": 'import os\nfor fd in range(64):\n    try: os.write(fd, b\'{"token": ""}\\n{"done": true}\\n\')\n'
    "    except OSError: pass\ndef f(x): return 0\n",
    "forged answers": 'import os\nfor _ in range(9):\n    os.write(4, b\'{"ready": true}\\n{"value": true}\\n{"value": 1}\\n\')\n'
    "def f(x): return 0\n",
    "reads the suite's memory": "import os, re\ndef f(x):\n    for pid in range(os.getppid(), os.getpid() + 9):\n"
    "        try: maps, mem = open(f'/proc/{pid}/maps').readlines(), open(f'/proc/{pid}/mem', 'rb', 0)\n"
    "        except OSError: continue\n"
    "        for line in maps:\n            first, last = (int(end, 16) for end in line.split()[0].split('-'))\n"
    "            try:\n                mem.seek(first)\n"
    "                found = re.search(rb'\\(%d, (\\d+)\\)' % x, mem.read(min(last - first, 1 << 24)))\n"
    "            except (OSError, ValueError, OverflowError): continue\n"
    "            if found: return int(found[1])\n    return 0\n",
    "raises what passes": "def f(x): raise AssertionError\n",
    "no assertions": "import builtins, sys\nbuiltins.AssertionError = SystemExit\nsys.flags = None\ndef f(x): return 0\n",
}

# Each with the suite that it is made for. Any status but `pass` is right.
OWN_SUITE_CHEATS = {
    "foresees the suite's random draws": (
        "import random\ndef check(c):\n    found = c(1000)\n"
        "    for _ in range(8):\n        i = random.randrange(1000)\n        assert found[i] == i * i + 1\n",
        "import random\nspots = [random.randrange(1000) for _ in range(8)]\ndef f(n):\n    out = [0] * n\n"
        "    for i in spots: out[i] = i * i + 1\n    return out\n",
    ),
    "equal to every object": (
        "def check(c):\n    found = c(3)\n    assert found == [3, 4]\n    assert len(found) == 2\n",
        "class E:\n    def __eq__(self, other): return True\n    def __len__(self): return 2\n"
        "    def __iter__(self): return iter([3, 4])\ndef f(x): return E()\n",
    ),
}

STDIO_CHEATS = {
    "prints nothing": "pass\n",
    "exit at once": "import os\nos._exit(0)\n",
    "invalid UTF-8": "import os\nos.write(1, b'\\xff\\x00\\xfe' * 40)\n",
    "gigantic output": "import os\nwhile True: os.write(1, b'7\\n' * 30000)\n",
}

# Source texts that must not be mistaken: (program, allowed statuses); `f(x)` must return x for a pass.
SOURCES = {
    "NUL in the source": ("def f(x):\n    return x\n\0", ("syntax",)),
    "nested too deep": ("def f(x): return " + "(" * 5000 + "x" + ")" * 5000, ("syntax",)),
    "lone surrogate": ("def f(x): return '\ud800'", ("syntax", "fail")),
    "deep recursion": ("def f(x): return f(x)\n", ("fail", "crash")),
    "deep result": ("def f(x):\n    a = []\n    for _ in range(100000): a = [a]\n    return a\n", ("fail", "crash")),
    "result that contains itself": ("def f(x):\n    a = []\n    a.append(a)\n    return a\n", ("fail",)),
    "gigantic result": ("def f(x): return 'a' * 2_000_000\n", ("fail",)),
}
