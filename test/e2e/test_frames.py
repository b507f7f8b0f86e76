"""What `frames.Peer` itself must do, against a listener of the test's own."""
import socket
import threading

from frames import DATA, PREFACE, Peer, data, settings, window_update


def test_answers_wait_until_what_is_poured_has_gone_out_whole():
    """An answer amid a frame would be taken for a piece of it. Ours to DATA is credit."""
    poured = b"".join(data(1, bytes([i % 251]) * 16384) for i in range(800))  # more than any socket's buffers hold
    came, answered = bytearray(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener.getsockname()[1]) as peer:
        accepted = listener.accept()[0]
        accepted.settimeout(10)

        def serve():
            with accepted:
                came.extend(accepted.recv(100))
                accepted.sendall(data(1, b"four"))
                answered.wait(10)  # the buffers are full by then, most likely in the middle of a frame
                while octets := accepted.recv(1 << 20):
                    came.extend(octets)

        def read(plainly=peer.read):
            result = plainly()
            answered.set()
            return result

        peer.read = read
        server = threading.Thread(target=serve)
        server.start()
        peer.pour(poured)
        peer.socket.shutdown(socket.SHUT_WR)
        server.join(10)
    assert len(peer.of(DATA)) == 1
    sent = PREFACE + settings({}) + poured
    assert came[: len(sent)] == sent
    assert came[len(sent) :] == window_update(0, 4) + window_update(1, 4)
