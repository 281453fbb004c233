# numpy, and what multiprocessing keeps in /dev/shm: shared memory and POSIX semaphores.
import multiprocessing
from multiprocessing import shared_memory

import numpy

COUNT = 1_000_000


def fill(task):
    name, part, parts = task
    memory = shared_memory.SharedMemory(name)
    array = numpy.ndarray(COUNT, dtype=numpy.int64, buffer=memory.buf)
    step = COUNT // parts
    array[part * step : (part + 1) * step] = numpy.arange(part * step, (part + 1) * step)
    del array
    memory.close()


def square(numbers, squares):
    squares.put([number * number for number in numbers.get()])


if __name__ == "__main__":
    matrix = numpy.random.default_rng(1).random((300, 300))
    print("solved", numpy.allclose(matrix @ numpy.linalg.solve(matrix, numpy.ones(300)), 1))
    for method in ["fork", "spawn"]:
        context = multiprocessing.get_context(method)
        memory = shared_memory.SharedMemory(create=True, size=COUNT * 8)
        with context.Pool(2) as pool:
            pool.map(fill, [(memory.name, part, 4) for part in range(4)])
        array = numpy.ndarray(COUNT, dtype=numpy.int64, buffer=memory.buf)
        print(method, array.sum())
        del array
        memory.close()
        memory.unlink()
    numbers, squares = multiprocessing.Queue(), multiprocessing.Queue()
    worker = multiprocessing.Process(target=square, args=(numbers, squares))
    worker.start()
    numbers.put(range(4))
    print("queue", squares.get())
    worker.join()
    with multiprocessing.Manager() as manager:
        shared = manager.dict(answer=4)
        print("manager", shared["answer"])
    print("semaphore", multiprocessing.Semaphore(1).acquire(timeout=1))
