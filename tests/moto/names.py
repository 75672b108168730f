"""A name server for moto's zones: answers what Route 53 in moto holds, over UDP. moto itself has none."""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 0


class Names:
    def __init__(self, route53):
        self.route53 = route53
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.running = True
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while self.running:
            try:
                packet, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            try:
                self.socket.sendto(self.answer(packet), sender)
            except Exception as error:  # a malformed question ends nothing
                print("name server:", error)

    def answer(self, packet):
        question = dns.message.from_wire(packet)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.AA
        asked = question.question[0]
        wanted = dns.rdatatype.to_text(asked.rdtype)
        known = False
        for zone in self.route53.list_hosted_zones()["HostedZones"]:
            for found in self.route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
                if found["Name"].rstrip(".").lower() != asked.name.to_text().rstrip(".").lower():
                    continue
                known = True
                if found["Type"] == wanted and found.get("ResourceRecords"):
                    values = [record["Value"] for record in found["ResourceRecords"]]
                    reply.answer.append(dns.rrset.from_text(asked.name, TTL, "IN", wanted, *values))
        if not known:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def stop(self):
        self.running = False
        self.socket.close()
